from django.apps import AppConfig


class PeersConfig(AppConfig):
    name = "entities.bench.peers"
    label = "peers"
