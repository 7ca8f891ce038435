"""Fields of the simulated Salesforce org: what describe says of them, and what a value becomes when held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

NUMBERS = ("double", "currency", "percent", "int")
WORDS = ("string", "picklist", "textarea", "url", "phone", "email", "id", "reference")
SOAP_TYPES = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
}
METADATA_TYPES = {
    "Number": "double",
    "Currency": "currency",
    "Percent": "percent",
    "Text": "string",
    "TextArea": "textarea",
    "LongTextArea": "textarea",
    "Url": "url",
    "Picklist": "picklist",
    "Checkbox": "boolean",
    "Date": "date",
    "DateTime": "datetime",
}


class RowRefused(Exception):
    """One record cannot be written: the vendor's code, its words and the fields it means."""

    def __init__(self, code: str, message: str, *fields: str) -> None:
        super().__init__(message)
        self.code, self.message, self.fields = code, message, list(fields)


@dataclass(frozen=True)
class Column:
    """A field. `values`: picklist values with labels; `inactive`: those that are deactivated, which describe leaves
    out. `relation`: (`Owner`, `User`) of `OwnerId`.
    """

    name: str
    label: str
    type: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    writable: bool = True
    required: bool = False
    values: tuple[tuple[str, str], ...] = ()
    inactive: tuple[tuple[str, str], ...] = ()
    restricted: bool = False
    external_id: bool = False
    unique: bool = False
    help: str | None = None
    relation: tuple[str, str] | None = None

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    @property
    def filterable(self) -> bool:
        return self.type != "anyType" and not (self.type == "textarea" and self.length > 255)


def stamped(moment: datetime) -> str:
    """A date and time as the REST API writes it: UTC, whole seconds."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000+0000"


def held(column: Column, value: Any) -> Any:
    """The value as the org holds it; raises `RowRefused`. Text is trimmed, numbers are rounded half up."""
    if value is None or (isinstance(value, str) and not value.strip()):
        if column.required:
            raise RowRefused("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{column.name}]", column.name)
        return False if column.type == "boolean" else None
    if column.type in NUMBERS:
        return _number(column, value)
    if column.type in ("date", "datetime"):
        return _moment(column, value)
    if column.type == "boolean":
        return _boolean(column, value)
    return _word(column, value)


def _number(column: Column, value: Any) -> float | int:
    try:
        exact = Decimal(str(value))
        rounded = exact.quantize(Decimal(1).scaleb(-column.scale), rounding=ROUND_HALF_UP)
    except InvalidOperation as error:
        raise _unreadable(column, value) from error
    if isinstance(value, bool):
        raise _unreadable(column, value)
    if abs(rounded) >= Decimal(10) ** (column.precision - column.scale):
        message = f"{column.label}: value outside of valid range on numeric field: {value}"
        raise RowRefused("NUMBER_OUTSIDE_VALID_RANGE", message, column.name)
    return int(rounded) if column.type == "int" else float(rounded)


def _moment(column: Column, value: Any) -> str:
    try:
        if column.type == "date":
            return date.fromisoformat(value).isoformat()
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise _unreadable(column, value) from error
    return stamped(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _boolean(column: Column, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise _unreadable(column, value)


def _word(column: Column, value: Any) -> str:
    if not isinstance(value, str):
        raise _unreadable(column, value)
    text = value.strip()
    if column.restricted and text not in dict(column.values):
        message = f"{column.label}: bad value for restricted picklist field: {text}"
        raise RowRefused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, column.name)
    if len(text) > column.length:
        message = f"{column.label}: data value too large: {text} (max length={column.length})"
        raise RowRefused("STRING_TOO_LONG", message, column.name)
    return text


def _unreadable(column: Column, value: Any) -> RowRefused:
    kinds = {bool: "VALUE_TRUE", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT", str: "VALUE_STRING"}
    kind = kinds.get(type(value), "START_OBJECT")
    message = (
        f"Cannot deserialize instance of {column.type} from {kind} value {value} "
        "or request may be missing a required field at [line:1, column:2]"
    )
    return RowRefused("JSON_PARSER_ERROR", message)


def described(column: Column, *, updateable: bool) -> dict[str, Any]:
    """The entry of this field in a describe answer, with every key a real one has."""
    words = column.type in WORDS
    return {
        "aggregatable": column.type != "textarea",
        "aiPredictionField": False,
        "autoNumber": False,
        "byteLength": column.length if column.type in ("id", "reference") else column.length * 3,
        "calculated": False,
        "calculatedFormula": None,
        "cascadeDelete": False,
        "caseSensitive": False,
        "compoundFieldName": "Name" if column.name == "Name" else None,
        "controllerName": None,
        "createable": column.writable and updateable,
        "custom": column.custom,
        "defaultValue": False if column.type == "boolean" else None,
        "defaultValueFormula": None,
        "defaultedOnCreate": not column.writable or column.type == "boolean",
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": column.precision if column.type == "int" else 0,
        "displayLocationInDecimal": False,
        "encrypted": False,
        "externalId": column.external_id,
        "extraTypeInfo": "plaintextarea" if column.type == "textarea" else None,
        "filterable": column.filterable,
        "filteredLookupInfo": None,
        "formulaTreatNullNumberAsZero": False,
        "groupable": words and column.type != "textarea",
        "highScaleNumber": False,
        "htmlFormatted": False,
        "idLookup": column.type == "id" or column.external_id,
        "inlineHelpText": column.help,
        "label": column.label,
        "length": column.length,
        "mask": None,
        "maskType": None,
        "name": column.name,
        "nameField": column.name == "Name",
        "namePointing": False,
        "nillable": not column.required and column.type not in ("id", "boolean"),
        "permissionable": column.writable and not column.required,
        "picklistValues": [_choice(value, label) for value, label in column.values],
        "polymorphicForeignKey": False,
        "precision": 0 if column.type == "int" else column.precision,
        "queryByDistance": False,
        "referenceTargetField": None,
        "referenceTo": [column.relation[1]] if column.relation else [],
        "relationshipName": column.relation[0] if column.relation else None,
        "relationshipOrder": None,
        "restrictedDelete": False,
        "restrictedPicklist": column.restricted,
        "scale": column.scale,
        "searchPrefilterable": False,
        "soapType": SOAP_TYPES.get(column.type, "xsd:string"),
        "sortable": column.filterable,
        "type": column.type,
        "unique": column.unique,
        "updateable": column.writable and updateable,
        "writeRequiresMasterRead": False,
    }


def _choice(value: str, label: str) -> dict[str, Any]:
    return {"active": True, "defaultValue": False, "label": label, "validFor": None, "value": value}


def from_metadata(name: str, metadata: Mapping[str, Any]) -> Column:
    """The column that a `CustomField` of this metadata makes; raises `RowRefused`."""
    kind = METADATA_TYPES.get(str(metadata.get("type")))
    if kind is None:
        raise RowRefused("INVALID_TYPE_FOR_OPERATION", f"Unknown field type: {metadata.get('type')}", "Metadata")
    _required(metadata, kind)
    definition = metadata.get("valueSet") or {}
    listed = (definition.get("valueSetDefinition") or {}).get("value") or []
    return Column(
        name,
        str(metadata["label"]),
        kind,
        length=int(metadata.get("length") or (255 if kind in WORDS else 0)),
        precision=int(metadata.get("precision") or 0),
        scale=int(metadata.get("scale") or 0),
        values=tuple(_value(item) for item in listed if item.get("isActive") is not False),
        restricted=bool(definition.get("restricted")),
        external_id=bool(metadata.get("externalId")),
        unique=bool(metadata.get("unique")),
        help=metadata.get("inlineHelpText"),
    )


def _value(item: Mapping[str, Any]) -> tuple[str, str]:
    name = str(item.get("valueName") or item.get("fullName") or "")
    if not name:
        raise RowRefused("FIELD_INTEGRITY_EXCEPTION", "Must specify 'valueName' for this value", "Metadata")
    return name, str(item.get("label") or name)


def _required(metadata: Mapping[str, Any], kind: str) -> None:
    needed = ["label"]
    if kind in NUMBERS:
        needed += ["precision", "scale"]
    if metadata.get("type") in ("Text", "LongTextArea"):
        needed.append("length")
    if kind == "picklist":
        needed.append("valueSet")
    missing = [name for name in needed if metadata.get(name) is None]
    if missing:
        raise RowRefused("FIELD_INTEGRITY_EXCEPTION", f"Must specify '{missing[0]}' for this field", *missing)
    precision, length = int(metadata.get("precision") or 0), int(metadata.get("length") or 0)
    if precision > 18 or length > (131_072 if metadata.get("type") == "LongTextArea" else 255):
        raise RowRefused("FIELD_INTEGRITY_EXCEPTION", "Value out of range for this type of field", "Metadata")
