"""`eventwriter-ctl verify`: read-only proof that every message is accounted for."""
