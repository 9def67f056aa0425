/** Names of files that promise something else than what opens: said to whoever decides whether the file may pass. */

const RUNS = new Set(
  `exe scr com pif bat cmd msi msp ps1 vbs vbe js jse wsf wsh hta jar lnk url reg cpl scf apk app dmg pkg iso img vhd
   docm xlsm pptm dotm xlam one chm`.split(/\s+/),
);
const HARMLESS = 'pdf|docx?|xlsx?|pptx?|odt|ods|rtf|txt|csv|jpe?g|png|gif|mp[34]|zip|eml';
const TWICE = new RegExp(`\\.(?:${HARMLESS})[\\s_.-]*\\.([a-z0-9]{1,8})$`, 'i');

/** What a part of this type is called, where the type says it clearly. */
const CALLED: Record<string, RegExp> = {
  'application/pdf': /^pdf$/,
  'image/png': /^png$/,
  'image/jpeg': /^jpe?g$/,
  'image/gif': /^gif$/,
  'text/html': /^x?html?$/,
  'application/zip': /^(zip|docx|xlsx|pptx|od[ts]|jar|apk)$/,
};

/** Why the name of a file may mislead, in words; empty where nothing speaks for that. */
export function misleadingName(name: string, type: string): string[] {
  const ending = /\.([a-z0-9]{1,8})$/i.exec(name.trim())?.[1]?.toLowerCase();
  const twice = TWICE.exec(name.trim())?.[1]?.toLowerCase();
  const usual = Object.hasOwn(CALLED, type) ? CALLED[type] : undefined;
  return [
    ...(twice !== undefined && RUNS.has(twice) ? [`it ends in .${twice}, whatever stands before`] : []),
    ...(ending !== undefined && RUNS.has(ending) ? ['it may run as a program when it is opened'] : []),
    ...(ending !== undefined && usual !== undefined && !usual.test(ending)
      ? [`it is called .${ending} and says that it is ${type}`]
      : []),
    ...(/\s{4,}/.test(name) ? ['blanks hide how it ends'] : []),
  ];
}
