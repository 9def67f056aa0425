/**
 * Answers of the database kept for a moment, so that a busy session does not ask the same at each MAIL.
 * Someone revoked or added is noticed within that moment. Askers of the same key share one question.
 */
export interface Recently<T> {
  /** The answer at once when it is fresh. */
  ask(key: string): T | Promise<T>;
}

export function recently<T>(
  read: (key: string) => Promise<T>,
  { forMs = 1_000, most = 10_000 }: { forMs?: number; most?: number } = {},
): Recently<T> {
  const known = new Map<string, { value: T; until: number }>();
  const asked = new Map<string, Promise<T>>();

  async function fetch(key: string): Promise<T> {
    try {
      const value = await read(key);
      if (known.size >= most) known.clear();
      known.set(key, { value, until: performance.now() + forMs });
      return value;
    } finally {
      asked.delete(key);
    }
  }

  return {
    ask(key) {
      const fresh = known.get(key);
      if (fresh !== undefined && performance.now() < fresh.until) return fresh.value;
      let question = asked.get(key);
      if (question === undefined) {
        question = fetch(key);
        asked.set(key, question);
      }
      return question;
    },
  };
}
