export { PulseSocket, PulseSocket as default, QuotaExceededError, VERSION } from './socket.js';
