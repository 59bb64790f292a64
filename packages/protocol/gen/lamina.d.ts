/** What the generated static module offers per message; src/codec.ts is its only importer. */
export interface GeneratedType {
  encode(message: object): { finish(): Uint8Array }
  decode(bytes: Uint8Array): object
}
export const lamina: { readonly v1: Readonly<Record<string, GeneratedType>> }
