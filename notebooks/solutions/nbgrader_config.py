"""`nbgrader generate_assignment` then makes the stubs of `make exercises`."""

c = get_config()  # noqa: F821
c.ClearSolutions.code_stub = {
    "python": 'raise NotImplementedError("your code here")'
}
