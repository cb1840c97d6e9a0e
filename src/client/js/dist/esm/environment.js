/** Returns the environment of the platform, as far as it has one. */
export function platform() {
    const host = globalThis;
    const { document: page, navigator: device } = host;
    const net = device?.connection;
    return {
        now: Date.now,
        setTimeout: host.setTimeout,
        clearTimeout: host.clearTimeout,
        random: () => (Math.random() * 2 ** 32) >>> 0,
        isOffline: () => device?.onLine === false,
        facts: () => ({
            // The gateway says `cell` and `wired`.
            net: net?.type?.replace('ular', '').replace('ethernet', 'wired'),
            vis: page?.visibilityState,
            saver: net?.saveData,
        }),
        listen(callback) {
            const abort = new AbortController();
            const on = (target, type, signal) => target?.addEventListener?.(type, () => callback(page?.hidden && signal === 'wake' ? 'change' : signal), abort);
            on(host, 'online', 'online');
            on(host, 'offline', 'offline');
            on(host, 'pageshow', 'wake');
            on(page, 'resume', 'wake');
            on(page, 'visibilitychange', 'wake');
            on(net, 'change', 'wake');
            return () => abort.abort();
        },
    };
}
