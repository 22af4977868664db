"""How much may come at once and be kept: bodies, imports, exports, bulk edits, names."""

from __future__ import annotations

from atlasco.lib import env

REQUEST_BODY_MAX_BYTES = env.integer(
    "ATLASCO_REQUEST_BODY_MAX_BYTES",
    8 << 20,
    help="The largest JSON body; imports stream and have no limit.",
    minimum=1024,
)
DATA_UPLOAD_MAX_MEMORY_SIZE = REQUEST_BODY_MAX_BYTES
IMPORT_LINE_MAX_BYTES = env.integer(
    "ATLASCO_IMPORT_LINE_MAX_BYTES",
    8 << 20,
    help="The longest line of an import; longer ones are rejected one by one.",
    minimum=1024,
)
IMPORT_UPLOADS_MAX_BYTES = env.integer(
    "ATLASCO_IMPORT_UPLOADS_MAX_BYTES",
    10 << 30,
    help="Files of one tenant that wait for their import, all together.",
    minimum=1024,
)
FILE_UPLOAD_HANDLERS = ["entities.imports.uploads.BoundedUploadHandler"]
EXPORT_ROWS_MAX = env.integer(
    "ATLASCO_EXPORT_ROWS_MAX", 1_000_000, help="Entities in one export of the entity browser.", minimum=1
)
EXPORT_MAX_BYTES = env.integer(
    "ATLASCO_EXPORT_MAX_BYTES", 2 << 30, help="The largest file of one export.", minimum=1024
)
BULK_EDIT_MAX = env.integer("ATLASCO_BULK_EDIT_MAX", 100_000, help="Entities that one bulk edit may change.", minimum=1)
ATTRIBUTE_NAMES_MAX = env.integer(
    "ATLASCO_ATTRIBUTE_NAMES_MAX",
    25_000,
    help="Attribute names that a tenant may have; further ones are stored and quarantined.",
    minimum=1,
)
NEW_ATTRIBUTE_NAMES_PER_HOUR = env.integer(
    "ATLASCO_NEW_ATTRIBUTE_NAMES_PER_HOUR",
    15_000,
    help="New attribute names of a tenant in an hour; further ones are stored and quarantined.",
    minimum=1,
)
