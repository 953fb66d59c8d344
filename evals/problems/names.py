"""First names, with the pronouns they take."""

from __future__ import annotations

from dataclasses import dataclass

_SHE = """
Ada Adele Agnes Aisha Alice Alma Amara Amelia Amina Amy Ana Angela Anita Anna Anya Asha Astrid Aya Beatrice Bella Beth
Bianca Bonnie Camila Carla Carmen Carol Cecilia Celia Chloe Clara Claire Daisy Dana Daphne Daria Debra Delia Diana Dina
Donna Dora Edith Elena Elisa Eliza Ella Elsa Emily Emma Erica Erin Esther Eva Evelyn Fatima Faye Fiona Flora Freya Gina
Gloria Grace Greta Hana Hannah Hazel Heidi Helen Helena Hilda Holly Ida Ines Ingrid Irene Iris Isla Ivy Jada Jane Janet
Jasmine Jenna Jill Joan Joanna Jodie Josie Joy Judith Julia June Kara Karen Kate Kayla Keiko Kim Kira Lara Laura Layla
Leah Leila Lena Lily Lina Linda Lola Lucy Luna Lydia Mabel Maja Mara Maria Marta Mary Maya Megan Mei Mia Mila Mina
Miriam Molly Mona Nadia Naomi Nell Nia Nina Noor Nora Olga Olive Olivia Paula Pearl Penny Petra Pia Polly Priya Rania
Rebecca Rhea Rita Rosa Rose Ruby Ruth Sadie Salma Sana Sara Selma Sofia Sonia Stella Susan Sylvia Tamara Tara Tessa
Thea Tina Uma Vera Viola Wendy Willa Xenia Yara Yasmin Yuki Zara Zelda Zoe
"""
_HE = """
Aaron Abdul Adam Adrian Ahmed Alan Albert Alex Ali Alvin Amir Andre Andrew Anton Arjun Arthur Asim Axel Ben Bilal Bill
Boris Brad Brian Bruno Caleb Carl Carlo Cedric Chad Chen Clive Cole Colin Conor Craig Cyrus Dale Damian Daniel Dario
David Dean Derek Diego Dirk Dylan Eddie Edgar Edwin Eli Elmer Emil Enzo Eric Ethan Evan Felix Finn Frank Fred Gavin
George Gilbert Glen Gordon Grant Gregor Gus Hamid Hans Harold Harry Hassan Hector Henry Herman Hugo Ian Ibrahim Igor
Imran Isaac Ivan Jack Jacob Jakob Jamal Jason Javier Jeff Jerome Jim Joel John Jonah Jorge Jose Josh Juan Julian Kai
Karim Karl Keith Ken Kevin Khalid Kofi Kurt Kyle Lars Leo Leon Liam Lloyd Logan Louis Luca Luke Malik Marc Marco Mario
Mark Martin Mason Mateo Matt Max Milan Miles Mohan Musa Nathan Neil Nico Nigel Noah Oleg Oliver Omar Oscar Otto Owen
Pablo Pat Paul Pavel Pedro Peter Philip Pierre Rafael Raj Ralph Ravi Ray Ricardo Rick Rob Roger Rohan Roman Ron Roy
Rupert Ryan Sam Samir Sean Seth Simon Stan Stefan Steve Sven Tariq Ted Theo Tim Toby Tom Tony Trent Umar Victor Viktor
Vince Wade Walt Warren Wayne Will Yan Yosef Yusuf Zack Zane
"""


@dataclass(frozen=True, slots=True)
class Person:
    """A name and what stands for it at the head of a sentence."""

    name: str
    subject: str
    possessive: str


PEOPLE: tuple[Person, ...] = tuple(
    Person(name, subject, possessive)
    for block, subject, possessive in ((_SHE, "She", "Her"), (_HE, "He", "His"))
    for name in block.split()
)
BY_NAME = {person.name: person for person in PEOPLE}
