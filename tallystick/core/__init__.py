"""The ground floor: money, time, ids, errors, the database server. It knows no domain."""
