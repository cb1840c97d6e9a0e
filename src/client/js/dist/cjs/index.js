"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.VERSION = exports.QuotaExceededError = exports.default = exports.PulseSocket = void 0;
var socket_ts_1 = require("./socket.js");
Object.defineProperty(exports, "PulseSocket", { enumerable: true, get: function () { return socket_ts_1.PulseSocket; } });
Object.defineProperty(exports, "default", { enumerable: true, get: function () { return socket_ts_1.PulseSocket; } });
Object.defineProperty(exports, "QuotaExceededError", { enumerable: true, get: function () { return socket_ts_1.QuotaExceededError; } });
Object.defineProperty(exports, "VERSION", { enumerable: true, get: function () { return socket_ts_1.VERSION; } });
