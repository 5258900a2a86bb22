"""What this process uses of its machine. The only place that knows psutil."""
