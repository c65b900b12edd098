"""What is known of many graphs without holding them all."""
