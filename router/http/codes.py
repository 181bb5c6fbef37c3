"""Errors as HTTP clients see them: vtrpc's code names, their statuses, the JSON of both.

Source of the numbers' codes: Vitess, `convertErrorCode` of vttablet; of the statuses: the Connect protocol.
"""

import json
from typing import Final

from core.errors import CODES

STATUS: Final = {
    "CANCELED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""The HTTP status of a request that is refused with that code. Never 520 to 530: clients take those for a CDN's."""

_NUMBERS: Final[dict[str, tuple[int, ...]]] = {
    "UNIMPLEMENTED": (1235, 1295),
    "RESOURCE_EXHAUSTED": (
        1021, 1037, 1038, 1040, 1041, 1114, 1129, 1135, 1151, 1153, 1203, 1206, 1226, 1461,
    ),
    "DEADLINE_EXCEEDED": (1205, 1969, 3024),
    "CANCELED": (1317,),
    "UNAVAILABLE": (1053, 2002, 2003, 2006),
    "NOT_FOUND": (1029, 1032, 1049, 1051, 1054, 1094, 1109, 1122, 1141, 1146, 1147, 1176, 1305),
    "PERMISSION_DENIED": (1044, 1045, 1095, 1142, 1143, 1211, 1227, 1370),
    "FAILED_PRECONDITION": (
        1046, 1082, 1091, 1099, 1100, 1104, 1148, 1162, 1165, 1169, 1173, 1179, 1192, 1207, 1215, 1216, 1217, 1223,
        1230, 1241, 1242, 1264, 1288, 1289, 1290, 1291, 1451, 1452, 1568, 1766, 1792, 1836, 3100,
    ),
    "ALREADY_EXISTS": (1007, 1050, 1061, 1062, 1086, 1125, 1304, 1586),
    "ABORTED": (1078, 1080, 1152, 1213),
    "INVALID_ARGUMENT": (
        1048, 1052, 1055, 1056, 1057, 1058, 1059, 1060, 1063, 1064, 1065, 1066, 1067, 1068, 1069, 1070, 1071, 1072,
        1073, 1074, 1075, 1083, 1084, 1085, 1089, 1090, 1093, 1096, 1097, 1101, 1102, 1103, 1106, 1107, 1108, 1110,
        1111, 1113, 1115, 1116, 1117, 1118, 1120, 1121, 1128, 1136, 1138, 1139, 1140, 1144, 1149, 1166, 1167, 1170,
        1171, 1172, 1193, 1204, 1210, 1221, 1222, 1225, 1228, 1229, 1231, 1232, 1233, 1234, 1238, 1239, 1240, 1243,
        1245, 1253, 1267, 1270, 1271, 1272, 1273, 1280, 1281, 1283, 1292, 1293, 1294, 1298, 1300, 1247, 1248, 1250,
        1406, 1690, 1366, 1621, 1971,
    ),
}  # fmt: skip
_OWN: Final = {
    "TABLET_UNAVAILABLE": "UNAVAILABLE",
    "QUEUE_FULL": "RESOURCE_EXHAUSTED",
    "QUEUE_TIMEOUT": "RESOURCE_EXHAUSTED",
    "OVERLOADED": "RESOURCE_EXHAUSTED",
    "LIMIT_CONCURRENCY": "RESOURCE_EXHAUSTED",
    "LIMIT_CONNECTIONS": "RESOURCE_EXHAUSTED",
    "RESERVED_FULL": "RESOURCE_EXHAUSTED",
    "CONNECTION_LOST": "UNAVAILABLE",
    "TRANSACTION_LOST": "ABORTED",
    "XA_LOST": "ABORTED",
    "TRANSACTION_TIMEOUT": "ABORTED",
    "RESERVATION_LOST": "ABORTED",
    "PARTIAL_COMMIT": "DATA_LOSS",
    "CROSS_SHARD_TRANSACTION": "FAILED_PRECONDITION",
    "RESULT_TOO_LARGE": "RESOURCE_EXHAUSTED",
    "BACKEND_REFUSED": "UNAVAILABLE",
    "VINDEX_VALUE": "INVALID_ARGUMENT",
    "TOPOLOGY": "UNAVAILABLE",
    "SHARDS_DIFFER": "FAILED_PRECONDITION",
    "NOT_IN_VSCHEMA": "NOT_FOUND",
    "NEEDS_VARIABLES": "FAILED_PRECONDITION",
    "ACCOUNT_REMOVED": "UNAUTHENTICATED",
    "HTTP_SESSION_LOST": "ABORTED",
    "HTTP_SESSION_ELSEWHERE": "UNAVAILABLE",
    "HTTP_SESSION_BUSY": "RESOURCE_EXHAUSTED",
    "HTTP_ANSWER_TOO_LARGE": "RESOURCE_EXHAUSTED",
    "HTTP_ANSWER_LOST": "ABORTED",
}
_CODES: Final = {number: code for code, numbers in _NUMBERS.items() for number in numbers} | {
    CODES[name].number: code for name, code in _OWN.items()
}


def code_of(number: int) -> str:
    """The vtrpc name for MySQL's, or the cluster's own, error number; UNKNOWN where none is meant."""
    return _CODES.get(number, "UNKNOWN")


def described(number: int, sqlstate: str, text: str) -> str:
    """The text with number and SQLSTATE, which travel nowhere else."""
    return f"{text} (errno {number}) (sqlstate {sqlstate})"


def sql_error(number: int, sqlstate: str, text: str) -> bytes:
    """The value of `error` in a reply of status 200."""
    return json.dumps({"code": code_of(number), "message": described(number, sqlstate, text)}).encode()


def refusal(code: str, message: str) -> tuple[int, bytes]:
    """Status and body of a request that is refused as a whole, in the shapes that old and new clients look for."""
    error = {"code": code.lower(), "message": message}
    return STATUS[code], json.dumps({**error, "error": error}).encode()
