"""The command `eventwriter-ctl`."""
