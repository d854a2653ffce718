"""What the agent does: a masked column is 0."""

from support.payload_record.form import marshal_record, parse_record


def filtered(data, masked):
    columns = parse_record(data)
    return marshal_record({name: 0 if name in masked else v for name, v in columns.items()})
