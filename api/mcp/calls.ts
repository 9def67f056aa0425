/**
 * A call of a tool, whichever way its operation is reached:
 *
 *   which operation? ─▶ are these its inputs? ─▶ invoke ─▶ tell what came of it
 *
 * `invoke` is `perform` where the operation is at hand (http.ts), and a request by REST where it is not (stdio.ts).
 */
import type { Operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import type { Nudger } from './nudge.ts';
import { Fault, isObject, type Tools } from './protocol.ts';
import { led, type Result, tell, tellError, tellProblem } from './tell.ts';
import { checkNames, type ToolBox, type ToolOperation } from './tools.ts';

type Given = Record<string, unknown>;

/** What REST would have answered. */
export interface Said {
  status: number;
  body: unknown;
}

export type Invoke = (one: Operation, given: Given, gone: AbortSignal) => Promise<Said>;

export interface Callee {
  box: ToolBox;
  list: Tools['list'];
  invoke: Invoke;
  nudger: Nudger;
  /** Tells the words said to one caller from those said to another. */
  nudged: string;
  operations: readonly Operation[];
  /** What an error that is nobody's fault but ours is told as; it has been logged. */
  problemOf(err: unknown): Problem;
}

export function toolsOf(callee: Callee): Tools {
  return {
    list: callee.list,
    async call(name, given, { gone }) {
      try {
        const { one, given: input } = callee.box.meant(name, given);
        checkNames(one, input);
        const said = await callee.invoke(one, input, gone);
        if (said.status >= 400)
          return tellError(
            said.status,
            isObject(said.body) ? said.body : { error: 'It failed.', code: 'failed' },
          );
        return withWord(callee, one, input, tell(one.tool, said.body), gone);
      } catch (err) {
        if (err instanceof Fault) throw err;
        return tellProblem(err instanceof Problem ? err : callee.problemOf(err));
      }
    },
  };
}

const NUDGED = ['send_email', 'check_inbox'];

async function withWord(
  callee: Callee,
  one: ToolOperation,
  { mailbox_id }: Given,
  result: Result,
  gone: AbortSignal,
): Promise<Result> {
  if (!NUDGED.includes(one.name)) return result;
  const mailbox = typeof mailbox_id === 'string' ? mailbox_id : '';
  const about = `${callee.nudged} ${mailbox.toLowerCase()}`;
  const word = await callee.nudger.word(about, () => settings(callee, mailbox, gone));
  return word === undefined ? result : led(word, result);
}

/** The mailbox as its settings are told: the one that is named, or the only one the caller sees. */
async function settings({ operations, invoke }: Callee, named: string, gone: AbortSignal): Promise<unknown> {
  const wanted = named === '' ? 'list_mailboxes' : 'get_mailbox';
  const one = operations.find(({ name }) => name === wanted);
  if (one === undefined) return undefined;
  const { status, body } = await invoke(one, named === '' ? {} : { mailbox_id: named }, gone);
  if (status !== 200 || !isObject(body)) return undefined;
  if (named !== '') return body;
  const { mailboxes } = body;
  return Array.isArray(mailboxes) && mailboxes.length === 1 ? mailboxes[0] : undefined;
}
