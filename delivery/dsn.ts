import type { Runtime } from '../core/runtime/runtime.ts';

export async function report(_runtime: Runtime, _id: string, _kind: string): Promise<void> {}
