"""Mistakes and oddities that the command line meets, a module of them for each room, and what each is held to."""
