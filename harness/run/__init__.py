"""One run: its plan, which stage follows which, its record and its flags.

``harness.run(encoder=…, decoder=…)`` carries one out (:func:`harness.notebook.run`): the package may be
called, since it has the name of the command.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..notebook import Run


class _Callable(ModuleType):
    def __call__(self, **words: Any) -> Run:
        from ..notebook import run

        return run(**words)


sys.modules[__name__].__class__ = _Callable
