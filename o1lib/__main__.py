from o1lib.cli import main

main()
