"""The base class of schemas."""

from __future__ import annotations

from typing import Any, ClassVar, get_origin

import pandera.pandas as pa
from pandera.api.dataframe.model_components import FieldInfo
from phlo.time_zones import keep_offsets

keep_offsets()  # Pandera was imported above

PUBLIC_PREFIX = "phlo_column"
"""What stands before an underscored field's name where Pandera itself reads it."""


class PhloSchema(pa.DataFrameModel):
    """A Pandera model with phlo's defaults: unknown columns pass, types are coerced.

    Fields whose name begins with an underscore are columns too; Pandera alone would pass
    over them in silence. They are handed to it under another name with the real one as alias.

    Example:
        >>> class Entries(PhloSchema):
        ...     _id: str = pa.Field(unique=True)
        >>> list(Entries.to_schema().columns)
        ['_id']
    """

    class Config(pa.DataFrameModel.Config):
        """Pandera's configuration."""

        strict = False
        coerce = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Publish underscored fields before Pandera collects the others."""
        own = dict(vars(cls).get("__annotations__", {}))
        cls.__annotations__ = {_published(cls, n, a): a for n, a in own.items()}
        super().__init_subclass__(**kwargs)


def is_underscored_field(name: str, annotation: object) -> bool:
    """Return whether an annotation declares a field that Pandera ignores."""
    is_class_variable = get_origin(annotation) is ClassVar or str(annotation).startswith("ClassVar")
    return name.startswith("_") and not name.startswith("__") and not is_class_variable


def _published(cls: type, name: str, annotation: object) -> str:
    if not is_underscored_field(name, annotation):
        return name
    field = vars(cls).get(name) or pa.Field()
    if not isinstance(field, FieldInfo):
        return name
    field.alias = field.alias or name
    public = PUBLIC_PREFIX + name
    setattr(cls, public, field)
    setattr(cls, name, field)
    field.__set_name__(cls, public)
    return public
