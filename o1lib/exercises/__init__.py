"""Exercises that a reader solves, and checks that recognize the usual mistakes.

    from o1lib.exercises import start_here as check
    check.pass_at_k(my_function)

One module a notebook: `start_here` belongs to notebooks/exercises/00_start_here.ipynb.
"""
