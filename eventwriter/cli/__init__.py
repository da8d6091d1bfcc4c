"""The commands `eventwriter` and `eventwriter-ctl`: arguments in, text and exit codes out."""
