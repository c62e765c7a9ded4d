"""Write published tables to PostgreSQL: load new ones, carry over, swap."""
