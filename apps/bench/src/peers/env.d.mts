// Types of env.mjs, for the one TypeScript file that needs to know where the peers are.
export declare const peerFolder: string
export declare const peerRequire: NodeJS.Require
