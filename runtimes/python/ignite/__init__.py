"""What an author of an Ignite function imports: `Response`, the types of `ctx`, and `ignite.testing`.

A function is a file `handler.py` with a top-level `def handler(payload: bytes, ctx)`; it needs none of this to be
served. The modules that begin with an underscore are the worker, the process that an Ignite host starts; they are not
an interface. Nothing here imports more of the standard library than a cold start can afford.
"""

from ignite._context import Context, Headers, Query
from ignite._hint import register as _register_hint
from ignite._log import Log
from ignite._response import Response
from ignite._store import TempStore, TempStoreFull
from ignite._version import VERSION

__all__ = ["Context", "Headers", "Log", "Query", "Response", "TempStore", "TempStoreFull", "__version__"]

__version__ = VERSION

_register_hint()
