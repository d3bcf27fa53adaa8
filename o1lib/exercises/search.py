"""Checks of the exercises of notebook 03: from a vote to a search whose memory is wrong.

Used in notebooks/exercises/03_search.ipynb.
"""

from __future__ import annotations

from o1lib.exercises.beams import beam
from o1lib.exercises.budgets import drive
from o1lib.exercises.choosing import best_of_k, weighted_vote
from o1lib.exercises.memory import mended_search
from o1lib.exercises.shortest import a_star
from o1lib.exercises.tree_search import visit_counts

EXERCISES = (weighted_vote, best_of_k, beam, visit_counts, a_star, drive, mended_search)
