export type * from './api.ts';
export type { Data } from './data.ts';
export type { Environment, Facts, Signal } from './environment.ts';
export type { FailureClass } from './schedule.ts';
export { PulseSocket, PulseSocket as default, QuotaExceededError, VERSION } from './socket.ts';
