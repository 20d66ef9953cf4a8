"""The protocol's vocabulary: its edition, its tags, and which names may stand in a line.

Owns the grammar, which `midsentence.core.parser` (an action), `midsentence.core.lines` (a line) and
`midsentence.core.values` (a value) read and write. Does not know which tools exist, which IDs are legal and when an
action is allowed: `midsentence.core.reducer` judges that.

    action = [ "<think>" thought "</think>" ] ( calls | "<pause>" | "<answer>" text "</answer>" )
    calls  = "<tool_call>" { line "\\n" } "</tool_call>"
    line   = id "." name "(" arguments ")"  |  id "." parameter ( "=" | "+=" ) argument
           | "REMOVE" id  |  "COMMIT" [ id { "," id } ]

A tool's name may hold what MCP and OpenAI allow: letters, digits, ``_``, ``-``, ``.`` and ``/``, in any place. The
first full stop after the digits ends the ID, and what follows the name tells the lines apart: ``(`` a call, ``=`` or
``+=`` an amendment.
"""

from __future__ import annotations

import re

EDITION = 2
"""Names the protocol as a whole: tags, lines, turns and what each looks like in ids. What was made in another edition
is refused."""
MODEL_TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<pause>", "<answer>", "</answer>")
ENVIRONMENT_TAGS = (
    "<partial_query_update>",
    "<final_query_update>",
    "<tool_result>",
    "<tool_error>",
    "<cancel>",
    "<error>",
    "</think_interrupted>",
    "</tool_call_interrupted>",
    "</answer_interrupted>",
    "<silence>",
)
TAGS = MODEL_TAGS + ENVIRONMENT_TAGS
ENDS = ("</answer>", "</tool_call>", "<pause>")
"""The tags that end an action."""
TOOL_NAME = re.compile(r"[\w./-]+")
"""Names of tools that can be called."""
PARAMETER_NAME = re.compile(r"[\w.-]+")
"""Names of parameters that can be given by name, and amended."""
