//! The types of the Kubernetes API whose JSON Go writes by hand.

use crate::body::ProtobufProblem;
use crate::protobuf::wire::{self, BYTES, Fault, Field, VARINT};
use serde_json::{Map, Value};

/// Seconds of 0001-01-01T00:00:00Z, Go's zero time, and of 9999-12-31T23:59:59Z, the last that RFC 3339 can say.
const ZERO_TIME: i64 = -62_135_596_800;
const LAST_TIME: i64 = 253_402_300_799;
const DAY: i64 = 86_400;

/// `metav1.Time`: whole seconds; an empty message and the zero time are null.
pub(super) fn time(bytes: &[u8]) -> Result<Value, Fault> {
    let Some((seconds, _)) = timestamp(bytes)? else {
        return Ok(Value::Null);
    };
    Ok(if seconds == ZERO_TIME { Value::Null } else { format!("{}Z", rfc3339(seconds)).into() })
}

/// `metav1.MicroTime`: what is below a microsecond is cut.
pub(super) fn micro_time(bytes: &[u8]) -> Result<Value, Fault> {
    let Some((seconds, nanos)) = timestamp(bytes)? else {
        return Ok(Value::Null);
    };
    let micros = nanos / 1000;
    let zero = seconds == ZERO_TIME && micros == 0;
    Ok(if zero { Value::Null } else { format!("{}.{micros:06}Z", rfc3339(seconds)).into() })
}

/// `metav1.Timestamp`: seconds (1) and nanoseconds (2); None for no bytes at all.
fn timestamp(bytes: &[u8]) -> Result<Option<(i64, i32)>, Fault> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let [seconds, nanos] = wire::few(bytes, [VARINT, VARINT])?;
    let at = seconds.map_or(0, |field| field.int64());
    let nanos = nanos.map_or(Ok(0), |field| field.int32(2))?;
    if !(ZERO_TIME..=LAST_TIME).contains(&at) || !(0..1_000_000_000).contains(&nanos) {
        let problem = ProtobufProblem::Value { field: 1, expected: "a time between the years 1 and 9999" };
        return Err(Fault { offset: 0, problem });
    }
    Ok(Some((at, nanos)))
}

/// Date and time in UTC, without fraction and zone. Days to date after Howard Hinnant, "chrono-compatible low-level date algorithms".
fn rfc3339(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// `intstr.IntOrString`: type (1), number (2), text (3). The form that the type doesn't name must be empty: the API server would carry
/// it along unseen.
pub(super) fn int_or_string(bytes: &[u8]) -> Result<Value, Fault> {
    let [kind, number, text] = wire::few(bytes, [VARINT, VARINT, BYTES])?;
    let kind = kind.map_or(0, |field| field.int64());
    let number = number.map_or(Ok(0), |field| field.int32(2))?;
    let text = text.map_or(Ok(""), |field| field.text(3))?;
    match (kind, number, text) {
        (0, number, "") => Ok(number.into()),
        (1, 0, text) => Ok(text.into()),
        _ => {
            let problem = ProtobufProblem::Value { field: 1, expected: "either a number or a string" };
            Err(Fault { offset: 0, problem })
        }
    }
}

/// One item of `Verbs` or `ExtraValue`: messages of strings (1).
pub(super) fn string_item(field: &Field<'_>) -> Result<Value, Fault> {
    if field.number != 1 {
        return Err(field.problem(ProtobufProblem::UnknownField(field.number)));
    }
    field.expect_wire(1, BYTES)?;
    field.text(1).map(Value::from)
}

/// `JSONSchemaPropsOrBool`: the schema, or whether anything is allowed.
pub(super) fn schema_or_bool(mut either: Map<String, Value>) -> Value {
    let allows = either.get("allows") == Some(&Value::Bool(true));
    either.remove("schema").unwrap_or(Value::Bool(allows))
}

/// `JSONSchemaPropsOrArray` and `JSONSchemaPropsOrStringArray`: the schema or the list, never both, null without either.
pub(super) fn schema_or(mut either: Map<String, Value>, list: &str, field: &Field<'_>) -> Result<Value, Fault> {
    match (either.remove("schema"), either.remove(list)) {
        (Some(_), Some(_)) => Err(field.fault(1, "either a schema or a list")),
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (None, None) => Ok(Value::Null),
    }
}
