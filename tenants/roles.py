"""What a person may do in a tenant, and the second wall behind the pages.

How to use it:
- A page says who may open it and who may change something there; nothing else is needed:

      class Rules(TenantPage):
          role_required = Role.EDITOR     # To open it; default VIEWER.
          role_to_change = Role.ADMIN     # To POST to it; default EDITOR, VIEWER for what is one's own.

- A service that changes data says it again, so that no page, however written, can be a way around it:

      def rule_create(*, tenant: Tenant, …) -> Rule:
          role_require(Role.EDITOR)

- A template asks `{% if may_edit %}` and `{% if may_manage %}`; every page has both in its context.

The API has scopes of tokens instead, commands and tasks are run by operators: `role_require` lets both pass.
"""

from __future__ import annotations

from typing import Final

from tenants.actors import ActorKind, actor_current
from tenants.errors import Forbidden
from tenants.members.models import Role

_RANKS: Final = {Role.VIEWER.value: 1, Role.EDITOR.value: 2, Role.ADMIN.value: 3}
_WORDS: Final = {
    Role.VIEWER: "Only a member of this tenant may do this.",
    Role.EDITOR: "Viewers can look but not change anything. Ask an admin of this tenant for the editor role.",
    Role.ADMIN: "Only an admin of this tenant may do this. Ask one of them.",
}


class RoleMissing(Forbidden):
    """Your role does not allow this."""

    code = "role_missing"


def role_covers(role: str | None, needed: Role) -> bool:
    """Whether somebody of this role (None: of none) may do what the other role is needed for."""
    return _RANKS.get(role or "", 0) >= _RANKS[needed.value]


def role_words(needed: Role) -> str:
    """In a sentence or two, why somebody without this role is refused, and what to do."""
    return _WORDS[needed]


def platform_require() -> None:
    """Let pass admins of the platform, commands and tasks: for what is done with whole tenants. Raises RoleMissing."""
    if actor_current().kind not in {ActorKind.PLATFORM, ActorKind.SYSTEM}:
        raise RoleMissing("Only an admin of the platform may do this.")


def role_require(needed: Role) -> None:
    """Let pass whoever has this role, and what is not a person: tokens, commands, tasks. Raises RoleMissing."""
    actor = actor_current()
    if actor.is_person and not role_covers(actor.role, needed):
        raise RoleMissing(role_words(needed))
