"""What happens on the caller's thread: values are captured, records are framed and appended."""
