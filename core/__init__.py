"""What every room of the house needs: errors, files, processes, YAML with lines, the console."""
