"""The program that hosts run: a zip of this package and pneumoctl.files, sent with every request, never installed.

Debian 12's Python runs it without any site-packages: the standard library only.
"""
