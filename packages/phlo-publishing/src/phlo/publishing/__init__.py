"""Publishing, under the name that the guide uses."""
