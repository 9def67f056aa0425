/** Contacts of the account. */
import { z } from 'zod';
import { addContact, type Contact, listContacts, removeContact } from '../../core/store/contacts.ts';
import { cursorOf, paging, placeByIds } from '../input/cursor.ts';
import { anyId, idOf, label, limit } from '../input/kinds.ts';
import { plainAddress } from '../input/kinds-of-mailbox.ts';
import { operation } from '../operation.ts';
import { notFound } from '../problem.ts';

const ContactView = z.object({
  id: z.string(),
  name: z.string(),
  email: z.string(),
  tags: z.array(z.string()),
  created_at: z.number(),
});

export function contactView({ id, name, email, tags, createdAt }: Contact): z.input<typeof ContactView> {
  return { id, name, email, tags, created_at: createdAt.getTime() };
}

const newContact = operation({
  name: 'add_contact',
  summary: 'Add a contact, or update the one with this address',
  area: 'contacts',
  access: 'send',
  method: 'POST',
  path: '/v1/contacts',
  status: 201,
  input: z.object({
    email: plainAddress,
    name: label.optional().describe('The address when left out'),
    tags: z.array(label).max(64).optional(),
  }),
  output: ContactView,
  tool: {
    description:
      'Remember a person by name and address. A contact with the same address is updated and keeps its id.',
    takes: ['name', 'email', 'tags'],
    requires: ['name'],
    hints: [],
  },
  async handle({ email, name, tags }, { runtime, caller }) {
    const unique = tags && [...new Set(tags)];
    return contactView(await addContact(runtime.database.pool, { email, name, tags: unique }, caller.actor));
  },
});

const searchContacts = operation({
  name: 'search_contacts',
  summary: 'Contacts whose name or address holds a text, newest first',
  area: 'contacts',
  access: 'read',
  method: 'GET',
  path: '/v1/contacts',
  input: z.object({
    q: z.string().max(320).optional().describe('Part of a name or an address'),
    mailbox: z
      .string()
      .max(320)
      .optional()
      .describe('Accepted and without effect: contacts are the account’s'),
    limit: limit(100, 500),
    ...paging,
  }),
  output: z.object({ contacts: z.array(ContactView), cursor: z.string().nullable() }),
  tool: {
    description: 'Find contacts by part of their name or address; all of them without a query.',
    takes: ['query'],
    hints: ['readOnly', 'idempotent'],
  },
  async handle({ q, limit, cursor, offset }, { runtime }) {
    const text = q === undefined || q.trim() === '' ? null : q.trim();
    const { contacts, more } = await listContacts(runtime.database.pool, {
      text,
      ...placeByIds({ cursor, offset }),
      limit,
    });
    return {
      contacts: contacts.map(contactView),
      cursor: more ? cursorOf(contacts.at(-1)!.id) : null,
    };
  },
});

const forgetContact = operation({
  name: 'delete_contact',
  summary: 'Remove a contact',
  area: 'contacts',
  access: 'admin',
  method: 'DELETE',
  path: '/v1/contacts/:contact_id',
  input: z.object({ contact_id: anyId }),
  output: z.object({ deleted: z.boolean() }),
  tool: {
    description: 'Remove a contact by its id.',
    takes: ['contact_id'],
    hints: ['destructive', 'idempotent'],
  },
  async handle({ contact_id }, { runtime, caller }) {
    if (!(await removeContact(runtime.database.pool, idOf(contact_id, 'contact'), caller.actor)))
      throw notFound('There is no such contact.');
    return { deleted: true };
  },
});

export const contactOperations = [newContact, searchContacts, forgetContact];
