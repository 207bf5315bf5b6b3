"""Mutated files and messages, read in processes of bounded time and memory: `python -m fuzzing`, or `make fuzz`."""

from .commands import COMMANDS
from .files import FILES
from .messages import MESSAGES

TARGETS = (*FILES, *MESSAGES, *COMMANDS)
