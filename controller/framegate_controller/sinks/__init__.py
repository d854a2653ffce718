"""What takes the record to SIEMs: a process for each sink, which knows neither database, keys nor
machines, and reads what others' servers answer.
"""
