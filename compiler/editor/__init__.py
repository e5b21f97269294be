"""What an editor asks about a file: pure functions of texts and positions, whatever protocol the editor speaks."""
