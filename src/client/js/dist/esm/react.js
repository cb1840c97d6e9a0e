// A hook of React. It is safe in StrictMode: a component that is mounted twice connects once.
import { useEffect, useMemo, useRef, useSyncExternalStore } from 'react';
import { PulseSocket } from './socket.js';
const TYPES = [
    'open',
    'resume',
    'suspend',
    'reset',
    'message',
    'drain',
    'error',
    'close',
    'state',
];
/** The sockets whose components have gone, and the timers that close them. */
const leaving = new WeakMap();
/**
 * Keeps a socket open while the component is mounted. The socket is the same until the address
 * changes; functions for the address and the subprotocols may change with each rendering.
 * `options` are read when the socket is made.
 */
export function usePulseSocket(target, protocols, handlers = {}, options = {}) {
    const latest = useRef({ target, protocols, handlers });
    useEffect(() => {
        latest.current = { target, protocols, handlers };
    });
    const key = typeof target === 'function' ? '' : `${target}`;
    const socket = useMemo(() => {
        const ask = (value, attempt) => typeof value === 'function' ? value(attempt) : value;
        return new PulseSocket((attempt) => ask(latest.current.target, attempt), (attempt) => ask(latest.current.protocols, attempt), { ...options, startClosed: true });
    }, [key]);
    useEffect(() => {
        const undo = TYPES.map((type) => {
            const listener = (event) => latest.current.handlers[type]?.(event);
            socket.addEventListener(type, listener);
            return () => socket.removeEventListener(type, listener);
        });
        return () => undo.forEach((stop) => stop());
    }, [socket]);
    useEffect(() => {
        clearTimeout(leaving.get(socket));
        if (socket.readyState > 1)
            socket.reconnect();
        return () => {
            // StrictMode mounts again at once: then the socket stays.
            const close = () => socket.close(1000);
            leaving.set(socket, setTimeout(close, 0));
        };
    }, [socket]);
    const state = useSyncExternalStore((changed) => {
        socket.addEventListener('state', changed);
        return () => socket.removeEventListener('state', changed);
    }, () => socket.state, () => 'idle');
    return { socket, state };
}
