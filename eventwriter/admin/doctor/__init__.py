"""`eventwriter doctor`: ordered read-only checks of everything that the daemon needs."""
