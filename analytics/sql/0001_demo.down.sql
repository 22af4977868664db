DROP TABLE demo_replay, demo_airlines, demo_flights;
