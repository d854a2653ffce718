"""Messages of the wire: their shapes, and one of each kind that has every member."""

from google.protobuf.descriptor import FieldDescriptor as Field

DEPTH = 3
"""Messages in messages that are filled; deeper ones are left empty."""


def shapes(file) -> dict[str, object]:
    """Of each message its members as [number, type, repeated, type of a member that is a message];
    of each call what goes in and what comes out.
    """
    found = {
        name: {f.name: _shape(f) for f in message.fields}
        for name, message in file.message_types_by_name.items()
    }
    calls = {
        f"{name}.{m.name}": [
            m.input_type.name,
            m.output_type.name,
            m.client_streaming,
            m.server_streaming,
        ]
        for name, service in file.services_by_name.items()
        for m in service.methods
    }
    return {"messages": found, "calls": calls}


def _shape(field) -> list[object]:
    of = field.message_type or field.enum_type
    return [field.number, field.type, field.is_repeated, of.full_name if of is not None else ""]


def filled(message, depth=0):
    """`message` with something in every member."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        if field.type == Field.TYPE_MESSAGE:
            if depth < DEPTH:
                inner = getattr(message, field.name)
                inner = inner.add() if field.is_repeated else inner
                inner.SetInParent()
                filled(inner, depth + 1)
            continue
        value = _value(field)
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


def _value(field):
    if field.type == Field.TYPE_STRING:
        return f"text of {field.name}"
    if field.type == Field.TYPE_BYTES:
        return field.name.encode()
    if field.type == Field.TYPE_ENUM:
        return field.enum_type.values[-1].number
    if field.type == Field.TYPE_BOOL:
        return True
    return (
        float(field.number) if field.type in {Field.TYPE_DOUBLE, Field.TYPE_FLOAT} else field.number
    )
