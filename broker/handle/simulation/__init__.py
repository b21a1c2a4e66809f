"""What a change of policies or agreements would do."""
