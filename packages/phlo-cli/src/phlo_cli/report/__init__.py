"""The page of `phlo report`: what is gathered, and how it is drawn."""
