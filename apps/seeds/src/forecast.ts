export async function forecast(): Promise<void> {}
