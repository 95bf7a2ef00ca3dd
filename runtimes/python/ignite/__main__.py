"""`python -m ignite`: nothing to run by hand; says how a function is served."""

import sys

from ignite._hint import say

say("ignite", ".")
sys.exit(2)
