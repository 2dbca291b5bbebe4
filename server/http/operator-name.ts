/** Do two names mean the same person? Names are typed by people, and look alike in more than one way. */
export function samePerson(one: string, other: string): boolean {
  const plain = (name: string) => name.normalize("NFKC").trim().toLowerCase();
  return plain(one) === plain(other);
}
