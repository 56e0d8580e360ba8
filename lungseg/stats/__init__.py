"""Bootstrap intervals and paired differences; numpy only."""
