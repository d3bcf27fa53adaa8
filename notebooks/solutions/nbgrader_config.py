"""Settings for `nbgrader generate_assignment`: it then makes the stubs that `make exercises` makes."""

c = get_config()  # noqa: F821
c.ClearSolutions.code_stub = {
    "python": 'raise NotImplementedError("your code here")'
}
