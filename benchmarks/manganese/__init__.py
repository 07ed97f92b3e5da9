"""What `white_lines.py` measures: real Mn L2,3 references of two origins, one the library's.

`bed` makes spectra and libraries, `methods` reads them, and each experiment is a module with
``run(options)``, which returns plain values for a JSON file, and ``report(result)``, its table.
"""
